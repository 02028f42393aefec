"""Proof that organizations are kept apart, run from outside against any server: it only uses what clients can use.

Reading order: `tenant` (who, and its canaries), `socket` (a small Socket.IO client), `probe` (one operation on one
surface, and the search for canaries of others in whatever came back), `run` (many of them, and the report).
"""
