"""ResourceQuota: what a namespace may have at most, checked at each write and told in the quota's status.

``usage`` says what an object takes, ``scopes`` which Pods a quota counts, ``ledger`` knows what is taken now,
``admission`` refuses what would be too much, ``reporting`` writes ``status``.
"""
