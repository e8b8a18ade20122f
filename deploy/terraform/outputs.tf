output "destination_id" {
  description = "The webhook destination"
  value       = cloudflare_notification_policy_webhooks.exporter.id
}

output "policy_id" {
  description = "The notification policy"
  value       = cloudflare_notification_policy.live_inputs.id
}
