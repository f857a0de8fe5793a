"""Real sockets in every state, and other people's ways to count them.

namespaces  a pair of network namespaces joined by a veth, and ways to work inside one
states      a lab that holds sockets in every state Linux shows, with known counts
oracles     /proc/net, ss and psutil, read without any code of the thing under test
names       of types and statuses, for all of these and for what the tests expect
owners      processes that own sockets: in cgroups of their own, of other users, under any name
stage       one of these processes, which makes sockets step by step
servers     servers that do not accept, and clients until there is no room or no port left
churn       connections opened and closed as fast as possible next to known stable ones
tools       that all of this needs, and the packages that have them

Everything happens inside namespaces made here and needs root; each module's `missing()` says
why it cannot run. Only the standard library is imported, so any interpreter will do.
"""
