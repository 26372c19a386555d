"""The admin API: a table of routes, each with the permission it needs.

    web            request, answer, problem, route           app        route, authenticate, authorise, answer
    access         roles and permissions                     services   what handlers work with
    changes        every write of configuration objects      routes     all routes of all modules

Handlers are `async (request, services) -> Answer` and know nothing of HTTP connections: the admin listener serves
them, and the API listener does where both share a port.
"""
