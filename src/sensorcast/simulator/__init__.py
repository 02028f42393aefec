"""A simulated fleet of refrigeration units that sends its readings like real gateways do, over HTTP.

Owns believable physics (`physics`), the units and their devices (`fleet`) and the client that delivers what they
measured (`sender`). The invariant: it is a client. It knows the server only by its HTTP contract, so whatever the
demo shows came in through the same door as a stranger's readings.
"""
