"""One answer for several requests that are the same: while it is on its way (`flight`), or later (`state.replies`).

identity   what makes two requests the same, and whether one may share at all
wish       what the model's configuration and the client's headers make of that
flight     one request to a provider, on behalf of everybody who asks the same meanwhile
serve      the way of such a request through all of them
"""
