"""``jobgate docker run``: a container whose network is a loopback and its gate.

A small container, the holder, has a network of its own without any interface but
loopback. It opens the proxy's socket in there, hands it to the launcher over a unix
socket, and stays. The job's container then joins the network of the holder. The gate
is the launcher itself, on the host. There is no bridge, so that neither the host's
address on it, nor the engine's name server, nor a neighbour is there to be reached.
"""
