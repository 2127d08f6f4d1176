"""Roles and bindings: who may do what, as the stored objects say.

``rules`` says what a rule allows and covers, ``index`` knows the rules of every user now, ``authorizer`` answers with
it, ``escalation`` keeps writers from granting what they do not have, ``bootstrap`` knows the roles of every cluster.
"""
