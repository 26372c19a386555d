"""The admin API: a table of routes, each with the permission it needs.

    web        request, answer, problem, route               app        route, identify, authorise, answer
    match      which route a path is                         routes     all routes of all modules
    access     roles and permissions                         identify   who asks, and whether they may
    services   what handlers work with                       body, strict, intake, paging   what a request says

    resources, batch, operations    objects one by one, many at once, switched and rotated
    login, users, tokens            people and programs, with people (rows), sessions, passwords, lockout
    status, figures, audit          how things are, what this worker counted, who changed what
    logs, log_export, statistics    what was requested, one by one and summed up
    usage                           who is limited, and what each has taken
    counting                        what pages of statistics count, of the fleet or of this worker
    export, importing               everything as one document
    openapi, schemas, usage_schemas    all of it described

    changes    every write of configuration objects: edits -> draft -> records
    draft      what edits make of the objects                ground     what has to be so before
    overlay    the objects as they are in a transaction      infile     those of the file
    shapes     what an object looks like                     sealing    its secrets
    compat     the same in the words of other gateways

Handlers are `async (request, services) -> Answer` and know nothing of HTTP connections: the admin listener serves
them, and the API listener does where both share a port.
"""
