"""The tests. `tests/<room>/test_<module>.py` mirrors `proxy/<room>/<module>.py`."""
