output "vpc_id" {
  description = "For the peers of other regions."
  value       = aws_vpc.this.id
}

output "public_subnet_ids" {
  description = "Of the load balancer."
  value       = [for zone in var.zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Of everything else but the brokers, one a zone, in the order of the zones."
  value       = [for zone in var.zones : aws_subnet.private[zone].id]
}

output "broker_subnet_ids" {
  description = "Of the NATS servers, one a zone."
  value       = [for zone in var.zones : aws_subnet.broker[zone].id]
}

output "broker_subnet_cidrs" {
  description = "Their addresses, in the same order."
  value       = [for zone in var.zones : aws_subnet.broker[zone].cidr_block]
}

output "connection_ids" {
  description = "Peering connections by region: what a region that was asked puts into its peers."
  value       = local.connections
}
