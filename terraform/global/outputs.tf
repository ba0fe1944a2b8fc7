output "zone_id" {
  description = "For every region's tfvars."
  value       = aws_route53_zone.this.zone_id
}

output "name_servers" {
  description = "What the registrar must name for the domain."
  value       = aws_route53_zone.this.name_servers
}

output "regions" {
  description = "The regions that are known here."
  value       = keys(local.regions)
}
