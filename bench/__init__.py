"""Load and cost measurements: Headrace beside nginx, in one run, with nothing but this repository and nginx.

__main__   the command line            scenarios  what is measured, with which load
measure    rounds, peers interleaved   peers      starts and stops nginx, Headrace and others
load       the load generator process  response   reads an HTTP answer, without I/O
machine    cores, CPU time, memory     histogram  latencies in log buckets
report     table, goals, JSON          chart      the table as an SVG
"""
