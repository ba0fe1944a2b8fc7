# What an autoscaler's Consul token may do.  consul acl policy create -name yurt-autoscaler -rules @autoscaler.hcl
# Where Nomad's service blocks make the entry, the first line goes.

service "yurt-autoscaler" { policy = "write" } # its own entry
session_prefix "" { policy = "write" }         # a session holds the lock; it is made on the agent's node, whatever its name
key_prefix "yurt/" { policy = "write" }        # yurt/<region>/autoscaler/leader
