{{- define "cgscope.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cgscope.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "cgscope.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "cgscope.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "cgscope.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cgscope.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cgscope.labels" -}}
{{ include "cgscope.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "cgscope.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cgscope.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "cgscope.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* The command line, from the values: an argument a line. */}}
{{- define "cgscope.args" -}}
{{- with .Values.monitor -}}
- --host-root=/host
- --interval={{ .interval }}
- --by={{ .by }}
{{- with .top }}
- --top={{ int64 . }}
{{- end }}
{{- if .containersOnly }}
- --containers-only
{{- end }}
- --output={{ .output }}
- --in-flight={{ int64 .inFlightMs }}
{{- range .filters.namespaces }}
- {{ printf "--namespace=%s" . | quote }}
{{- end }}
{{- range .filters.pods }}
- {{ printf "--pod=%s" . | quote }}
{{- end }}
{{- range .filters.containers }}
- {{ printf "--container=%s" . | quote }}
{{- end }}
{{- range .filters.cgroups }}
- {{ printf "--cgroup=%s" . | quote }}
{{- end }}
{{- range .filters.comms }}
- {{ printf "--comm=%s" . | quote }}
{{- end }}
{{- range .filters.syscalls }}
- {{ printf "--syscall=%s" . | quote }}
{{- end }}
{{- if .verbose }}
- --verbose
{{- end }}
{{- end }}
{{- with .Values.listen }}
{{- if .enabled }}
- --listen=:{{ .port }}
- --metrics-syscalls={{ .metricsSyscalls }}
{{- end }}
{{- end }}
{{- range .Values.monitor.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* "1m30s" in milliseconds. */}}
{{- define "cgscope.milliseconds" -}}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+" . }}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{- /* Refuses values of which each may be, but not together or not there. */}}
{{- define "cgscope.validate" -}}
{{- $interval := float64 .Values.monitor.interval }}
{{- if or (lt $interval 0.01) (gt $interval 86400.0) }}
{{- fail (printf "monitor.interval is %v: from 0.01 to 86400 seconds" .Values.monitor.interval) }}
{{- end }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: each agent would be scraped twice, and every sum doubled; choose one" }}
{{- end }}
{{- range $name := list "podMonitor" "serviceMonitor" "service" }}
{{- $one := get $.Values $name }}
{{- if and $one.enabled (not $.Values.listen.enabled) }}
{{- fail (printf "%s.enabled needs listen.enabled" $name) }}
{{- end }}
{{- if and $one.interval $one.scrapeTimeout }}
{{- if gt (include "cgscope.milliseconds" $one.scrapeTimeout | int64) (include "cgscope.milliseconds" $one.interval | int64) }}
{{- fail (printf "%s.scrapeTimeout is %s: not longer than its interval, %s" $name $one.scrapeTimeout $one.interval) }}
{{- end }}
{{- end }}
{{- end }}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- range $label, $_ := .Values.podLabels }}
{{- if has $label $own }}
{{- fail (printf "podLabels: %s is the selector's, and the chart's own" $label) }}
{{- end }}
{{- end }}
{{- $own = concat $own (list "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart") }}
{{- range $name := list "podMonitor" "serviceMonitor" "prometheusRule" "dashboard" }}
{{- range $label, $_ := (get $.Values $name).labels }}
{{- if has $label $own }}
{{- fail (printf "%s.labels: %s is the chart's own" $name $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
