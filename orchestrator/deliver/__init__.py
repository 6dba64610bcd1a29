"""
Calls webhooks: a process of its own, any number at once, which needs no broker.
"""
