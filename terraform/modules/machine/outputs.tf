output "launch_template_id" {
  description = "For a group or an instance."
  value       = aws_launch_template.this.id
}

output "launch_template_version" {
  description = "The newest: a change of it rolls the group."
  value       = aws_launch_template.this.latest_version
}

output "user_data" {
  description = "The first start, to be checked."
  value       = local.user_data
}
