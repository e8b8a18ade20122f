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

{{/* Whether there can be several pods. */}}
{{- define "exporter.shared" -}}
{{- .Values.postgresql.url | empty | ternary "" "yes" }}
{{- end }}

{{/* Fails if the values do not fit together. */}}
{{- define "exporter.validate" -}}
{{- $values := .Values }}
{{- $db := $values.postgresql }}
{{- if and $values.configReloader.enabled $values.webConfig.existingSecret }}
{{- fail "configReloader.enabled: it cannot log in at the private listener, which webConfig.existingSecret protects" }}
{{- end }}
{{- if not $db.url }}
{{- if gt (int $values.replicas) 1 }}
{{- fail "replicas: more than 1 requires postgresql.url: without a shared journal, each replica would count only the notifications that it receives" }}
{{- end }}
{{- if or $db.existingSecret $db.caSecret }}
{{- fail "postgresql.url: required with postgresql.existingSecret and postgresql.caSecret" }}
{{- end }}
{{- else }}
{{- if or (regexMatch "^[a-z]+://[^/?@]*:[^/?@]*@" $db.url) (regexMatch "[?&]password=" $db.url) }}
{{- fail "postgresql.url: remove the password, because the URL is in a ConfigMap; put it into a Secret and set postgresql.existingSecret" }}
{{- end }}
{{- if not $values.persistence.enabled }}
{{- fail "persistence.enabled: required with postgresql.url: while PostgreSQL is away, notifications are in the pod's volume only" }}
{{- end }}
{{- if and (gt (int $values.replicas) 1) $values.persistence.existingClaim }}
{{- fail "persistence.existingClaim: replicas cannot share a claim; remove it, and each gets its own" }}
{{- end }}
{{- $own := dig "webhook" "secret_files" dict $values.config }}
{{- range $values.extraEnv }}
{{- if hasPrefix "STREAM_LIVE_EXPORTER__WEBHOOK__SECRET" .name }}{{ $own = . }}{{ end }}
{{- end }}
{{- if not (or $values.webhook.existingSecret $own) }}
{{- fail "webhook.existingSecret: required with postgresql.url, because all replicas need the same secret" }}
{{- end }}
{{- if contains "sslrootcert=" $db.url }}
{{- if $db.caSecret }}
{{- fail "postgresql.caSecret: remove it, or sslrootcert from postgresql.url" }}
{{- end }}
{{- else if not (or $db.caSecret (regexMatch "[?&]sslmode=(disable|require)(&|$)" $db.url) (regexMatch "^[a-z]+://([^/?@]*@)?(/|%2F|[?]|$)" $db.url)) }}
{{- fail "postgresql.caSecret: required to verify the server's certificate, because the image has no certificates of authorities; or set sslmode in postgresql.url" }}
{{- end }}
{{- end }}
{{- end }}

{{/* The size of a volume. */}}
{{- define "exporter.volumeSize" -}}
{{- $records := dig "storage" "spool_max" 100000 .Values.config | int64 }}
{{- $gibibytes := div (add (mul $records 4096) 1073741823) 1073741824 }}
{{- $default := include "exporter.shared" . | empty | ternary "2Gi" (printf "%dGi" $gibibytes) }}
{{- default $default .Values.persistence.size }}
{{- end }}

{{/* The ports of PostgreSQL's servers, as a list in JSON. */}}
{{- define "exporter.postgresqlPorts" -}}
{{- $ports := list }}
{{- range regexReplaceAll "^[a-z]+://([^/?@]*@)?([^/?]*).*$" .Values.postgresql.url "${2}" | splitList "," }}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default "5432" | int) }}
{{- end }}
{{- uniq $ports | toJson }}
{{- end }}

{{/* Where pods run: the user's affinity, and that of several replicas. */}}
{{- define "exporter.affinity" -}}
{{- $term := dict
  "topologyKey" "kubernetes.io/hostname"
  "labelSelector" (dict "matchLabels" (include "exporter.selectorLabels" . | fromYaml))
}}
{{- $apart := dict }}
{{- if gt (int .Values.replicas) 1 }}
{{- if eq .Values.podAntiAffinity "required" }}
{{- $apart = dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) }}
{{- else if eq .Values.podAntiAffinity "preferred" }}
{{- $weighted := dict "weight" 100 "podAffinityTerm" $term }}
{{- $apart = dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list $weighted)) }}
{{- end }}
{{- end }}
{{- with merge (dict) .Values.affinity (hasKey .Values.affinity "podAntiAffinity" | ternary dict $apart) }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* How pods are spread: constraints with the selector of the pods are for several replicas. */}}
{{- define "exporter.spread" -}}
{{- $constraints := list }}
{{- range .Values.topologySpreadConstraints }}
{{- if .labelSelector }}
{{- $constraints = append $constraints . }}
{{- else if gt (int $.Values.replicas) 1 }}
{{- $selector := dict "labelSelector" (dict "matchLabels" (include "exporter.selectorLabels" $ | fromYaml)) }}
{{- $constraints = append $constraints (merge $selector .) }}
{{- end }}
{{- end }}
{{- with $constraints }}
{{- toYaml . }}
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
  "storage.url" "set postgresql.url instead"
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
{{- with .Values.postgresql }}
{{- if .url }}
{{- $ca := printf "%ssslrootcert=/etc/stream-live-exporter/postgresql/ca.crt" (contains "?" .url | ternary "&" "?") }}
{{- $_ := set $storage "url" (print .url (.caSecret | empty | ternary "" $ca)) }}
{{- if .existingSecret }}
{{- $_ := set $storage "password_file" "/etc/stream-live-exporter/postgresql/password" }}
{{- end }}
{{- end }}
{{- end }}
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
