output "instance_profile_arns" {
  description = "By kind of machine."
  value       = { for kind, profile in aws_iam_instance_profile.role : kind => profile.arn }
}

output "instance_profile_names" {
  description = "The same, by name."
  value       = { for kind, profile in aws_iam_instance_profile.role : kind => profile.name }
}

output "flow_log_role_arn" {
  description = "What the flow log is written as."
  value       = aws_iam_role.flow.arn
}
