{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters, so that names with a suffix fit into a label. */}}
{{- define "exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "exporter.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stream-live-exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The reference of an image: a list of the root context, the image's values and the default tag. */}}
{{- define "exporter.image" -}}
{{- $global := (index . 0).Values.global }}
{{- $image := index . 1 }}
{{- $name := printf "%s/%s" (default $image.registry $global.imageRegistry) $image.repository | trimPrefix "/" }}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default (index . 2) $image.tag) }}
{{- end }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The configuration file: the user's keys, and those that must fit the other resources. */}}
{{- define "exporter.config" -}}
{{- $ports := "the ports of the chart's other resources depend on it; remove it" }}
{{- $advice := dict
  "webhook.listen_address" $ports
  "web.listen_address" $ports
  "webhook.path" "set webhook.path instead"
  "web.config_file" "set webConfig instead"
  "storage.path" "the volume depends on it; remove it"
}}
{{- range $key, $text := $advice }}
{{- $names := splitList "." $key }}
{{- if hasKey (get $.Values.config (first $names) | default dict) (last $names) }}
{{- fail (printf "config.%s: %s" $key $text) }}
{{- end }}
{{- end }}
{{- $webhook := dict "listen_address" ":10418" "path" .Values.webhook.path }}
{{- $web := dict "listen_address" ":10419" }}
{{- if .Values.webhook.existingSecret }}
{{- $files := dict }}
{{- range .Values.webhook.existingSecretKeys }}
{{- $_ := set $files . (printf "/etc/stream-live-exporter/secrets/%s" .) }}
{{- end }}
{{- $_ := set $webhook "secret_files" $files }}
{{- end }}
{{- if .Values.webConfig.existingSecret }}
{{- $_ := set $web "config_file" (printf "/etc/stream-live-exporter/web/%s" .Values.webConfig.key) }}
{{- end }}
{{- $cloudflare := dict }}
{{- if .Values.cloudflare.accountId }}
{{- $_ := required "cloudflare.existingSecret: required with cloudflare.accountId" .Values.cloudflare.existingSecret }}
{{- $token := printf "/etc/stream-live-exporter/cloudflare/%s" .Values.cloudflare.tokenKey }}
{{- $cloudflare = dict "cloudflare" (dict "account_id" .Values.cloudflare.accountId "token_file" $token) }}
{{- end }}
{{- $storage := dict "path" "/var/lib/stream-live-exporter" }}
{{- $fixed := dict "webhook" $webhook "web" $web "storage" $storage }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $fixed $cloudflare) }}
{{- end }}

{{/* The metadata of a resource: a list of the root context, the name's suffix, labels, annotations and namespace. */}}
{{- define "exporter.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "exporter.fullname" $root }}{{ index . 1 }}
namespace: {{ default (include "exporter.namespace" $root) (index . 4) }}
labels:
  {{- include "exporter.labels" $root | nindent 2 }}
  {{- with index . 2 }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with index . 3 }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The mounts of the files that a reload reads. */}}
{{- define "exporter.mounts" -}}
- name: config
  mountPath: /etc/stream-live-exporter/config
  readOnly: true
{{- if .Values.webhook.existingSecret }}
- name: webhook-secret
  mountPath: /etc/stream-live-exporter/secrets
  readOnly: true
{{- end }}
{{- if .Values.cloudflare.existingSecret }}
- name: cloudflare-tokens
  mountPath: /etc/stream-live-exporter/cloudflare
  readOnly: true
{{- end }}
{{- end }}
