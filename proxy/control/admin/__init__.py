"""The admin API: a table of routes, each with the permission it needs.

    web            request, answer, problem, route           app        route, authenticate, authorise, answer
    access         roles and permissions                     services   what handlers work with
    changes        every write of configuration objects      routes     all routes of all modules

The same objects in the words of other gateways:

    spelled        fields in any spelling                    vendors    a word, an address and a key as a provider
    grouping       a provider, its keys and models as one    regrouping the edits that make, change and remove it
    groups         /admin/groups                             proxy_keys /admin/proxy-keys
    api_providers  /api/providers                            db_objects /v1/db
    figures        what this worker has counted              statistics, status, logs, upkeep

Handlers are `async (request, services) -> Answer` and know nothing of HTTP connections: the admin listener serves
them, and the API listener does where both share a port.
"""
