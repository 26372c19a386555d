"""What was used, in the database: booked once for each request, however often it is delivered.

booking      records of the spool -> rows, counters and sums, in one transaction
requests     the log of requests, in pages and as a whole
statistics   sums and percentiles over time
since        sums from a moment on
windows      what budgets and quotas have counted, over all hosts
retention    what is too old goes, in slices
"""
