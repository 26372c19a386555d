"""The same objects and figures in the words of other gateways, for the programs that manage those.

    spelled        fields in any spelling                    vendors     a word, an address and a key as a provider
    grouping       a provider, its keys and models as one    regrouping  the edits that make, change and remove it
    plain          a group with one key and no models

    groups         /admin/groups                             proxy_keys  /admin/proxy-keys
    api_providers  /api/providers                            db_objects  /v1/db
    statistics     /v1/stats, /admin/stats                   upkeep      /v1/stats/refresh, …/reset, …/clear-cache

Nothing here writes by itself: bodies become edits, and `admin.changes` applies them. No module of `admin` but
`routes` imports one of these.
"""
