"""A stream that broke off after the client had some of it, continued by somebody else.

    sent     what the client has, and whether an answer like that can be continued
    rungs    where the text of another answer goes on after it: repeated from the start, from an anchor, or at once
    asking   the request for that other answer
    seam     the other answer, as far as it is new, in terms of the first
    relays   streams that may be left open, and the one that goes on
    hop      who is asked, in which order, and what comes of it

Never a silent seam: unless a rung finds the place exactly, the client gets the one error that it gets without all this.
"""
