"""What each vendor's API takes and gives, checked by rules that know nothing of how we write it.

Written from the vendors' documentation, their SDKs' types and what their endpoints are known to refuse. Each module
has `check_request`, `check_response` and `check_stream`, which give every violation as a sentence that begins with
the place; an empty list is legal.
"""
