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

{{- /* "/run/containerd" as the name of a volume. */}}
{{- define "cgscope.volumeName" -}}
{{- printf "host%s" (regexReplaceAll "[^a-z0-9]+" (lower .) "-") | trunc 63 | trimSuffix "-" }}
{{- end }}
