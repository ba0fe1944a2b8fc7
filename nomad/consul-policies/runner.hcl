# What a runner's Consul token may do.  consul acl policy create -name yurt-runner -rules @runner.hcl
# Where Nomad's service blocks make the entry, the first line goes.

service "yurt-runner" { policy = "write" } # its own entry
service "yurt-gateway" { policy = "read" } # which regions there are, to overflow from
node_prefix "" { policy = "read" }         # without it Consul leaves the services of a node out of its answers
