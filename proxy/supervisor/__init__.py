"""The process above the workers: it holds the listeners, and serves no request itself.

loop      signals, ends of processes and words of workers, one after the other; nothing in it waits
staff     processes: started, heard, replaced, waited for
crew      who has which place
spawn     a fork
deaths    when one that died is started again
watch     who is alive, and who has fallen silent
ops       pages of the whole instance, answered without any worker
handover  the same process as a new program: a restart that lets nobody go
systemd   what systemd is told, and hands on
"""

from __future__ import annotations
