output "addresses" {
  description = "Private addresses of the servers."
  value       = [for server in local.servers : server.address]
}

output "nats_urls" {
  description = "What gateways and runners connect to."
  value       = [for server in local.servers : "tls://${server.address}:4222"]
}

output "user_data" {
  description = "First starts, to be checked."
  value       = { for name, machine in module.machine : name => machine.user_data }
}
