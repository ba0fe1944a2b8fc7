# What a gateway's Consul token may do.  consul acl policy create -name yurt-gateway -rules @gateway.hcl
# Where Nomad's service blocks make the entry, "read" is enough in the first line.

service "yurt-gateway" { policy = "write" } # its own entry; and to read those of other regions, for their endpoints
node_prefix "" { policy = "read" }          # without it Consul leaves the services of a node out of its answers
