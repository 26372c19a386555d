"""Credentials that are good for an hour or so, and are had for something that lasts: tokens of Google and Entra, keys of AWS.

minter     keeps one of each, has the next one ready before it ends, and asks once for all who wait
google     a service account, a user's refresh token, or the metadata server
entra      an application's secret, or the identity this machine is given
aws        the role this machine, container or pod is given
"""
