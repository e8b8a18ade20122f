variable "account_id" {
  description = "The Cloudflare account"
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{32}$", var.account_id))
    error_message = "The account id has 32 lower-case hexadecimal digits."
  }
}

variable "webhook_url" {
  description = "The public URL of the webhook, for example https://live.example.com/webhook"
  type        = string
  validation {
    condition     = can(regex("^https?://[^/:]+(:(80|443))?/", var.webhook_url))
    error_message = "Cloudflare delivers only to http or https on port 80 or 443."
  }
}

variable "webhook_secret" {
  description = "The webhook secret: `stream-live-exporter secret show --print`"
  type        = string
  sensitive   = true
  validation {
    condition     = length(var.webhook_secret) >= 16
    error_message = "A secret shorter than 16 characters can be guessed."
  }
}

variable "input_ids" {
  description = "The live inputs whose events are delivered; empty: all"
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for id in var.input_ids : can(regex("^[0-9a-f]{32}$", id))])
    error_message = "An input id has 32 lower-case hexadecimal digits."
  }
}

variable "name" {
  description = "Name of the destination and of the policy"
  type        = string
  default     = "stream-live-exporter"
}
