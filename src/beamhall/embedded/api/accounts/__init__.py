"""Service accounts as Pods have them: whose Pod it is, and how its programs reach the API as that account.

``pod_access`` says what is put into a Pod, ``admission`` when, ``upkeep`` keeps what that refers to: accounts, the
certificate authority in every namespace, tokens in Secrets. Tokens themselves are in ``tokens`` beside this package.
"""
