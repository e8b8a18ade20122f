# Webhook destination and notification policy for stream-live-exporter: the same as `cloudflare setup` creates.

terraform {
  required_version = ">= 1.8"
  required_providers {
    cloudflare = {
      source  = "cloudflare/cloudflare"
      version = "~> 5.0"
    }
  }
}

# The token needs the permission "Notifications Edit"; the provider reads it from CLOUDFLARE_API_TOKEN.
provider "cloudflare" {}

# Cloudflare creates the destination only if its test message is answered 2xx: the daemon must run with this secret.
resource "cloudflare_notification_policy_webhooks" "exporter" {
  account_id = var.account_id
  name       = var.name
  url        = var.webhook_url
  secret     = var.webhook_secret
}

# Without a filter of events, the policy delivers all of them, live_input.errored included.
resource "cloudflare_notification_policy" "live_inputs" {
  account_id = var.account_id
  name       = var.name
  alert_type = "stream_live_notifications"
  enabled    = true

  # No empty lists of other receivers: they would be a difference in every plan.
  mechanisms = {
    webhooks = [{ id = cloudflare_notification_policy_webhooks.exporter.id }]
  }

  filters = length(var.input_ids) == 0 ? null : { input_id = sort(var.input_ids) }
}
