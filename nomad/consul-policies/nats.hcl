# What the Consul token of whoever supervises NATS servers may do, where it is not Nomad.
# consul acl policy create -name yurt-nats -rules @nats.hcl

service "yurt-nats" { policy = "write" } # their entries
