"""Another plan for a request than its model's name gives: by rules of the configuration, or as its client prefers.

rules         which model a request is for, by what it is like
preferences   which of a model's deployments it may go to, in which order, and what comes after them
chosen        both, applied to a plan
"""
