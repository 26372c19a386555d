"""Where hooks of an installation (`proxy.hooks`) are called, and what keeps them from doing harm.

threads     threads for hooks that are not `async def`, which nobody has to wait for
calling     one call: its time limit, its figures, what becomes of a failure
before      the request, before anything is chosen
hooked      what an exchange has of its hooks; all the other points
screening   the text of an answer through all its screens, some of it held back
screened    a stream whose text goes that way
"""
