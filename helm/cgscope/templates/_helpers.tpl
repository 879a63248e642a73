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

{{- /* That of a monitor: Prometheus refuses one that is longer than the interval. Without either it has its own. */}}
{{- define "cgscope.scrapeTimeout" -}}
{{- if .scrapeTimeout }}
{{- .scrapeTimeout }}
{{- else if .interval }}
{{- ternary .interval "10s" (lt (include "cgscope.milliseconds" .interval | int64) 10000) }}
{{- end }}
{{- end }}

{{- /* Of a mount; nothing where it is the default, which Kubernetes before 1.30 does not know. */}}
{{- define "cgscope.recursiveReadOnly" -}}
{{- with .Values.hostRoot.recursiveReadOnly }}
{{- if ne . "Disabled" }}
{{- . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* "1.5Gi" or "100m" as a number. */}}
{{- define "cgscope.quantity" -}}
{{- $units := dict "n" 1e-9 "u" 1e-6 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- $unit := regexFind "[A-Za-z]+$" . }}
{{- mulf (trimSuffix $unit . | float64) (get $units $unit | default 1.0) }}
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
{{- range $name := list "prometheusRule" "dashboard" }}
{{- if and (get $.Values $name).enabled (not $.Values.listen.enabled) }}
{{- fail (printf "%s.enabled needs listen.enabled: there are no metrics without it" $name) }}
{{- end }}
{{- end }}
{{- include "cgscope.validatePod" . }}
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

{{- /* What Kubernetes would refuse later, or cgscope at its start. */}}
{{- define "cgscope.validatePod" -}}
{{- if not (or .Values.privileged (has "SYS_ADMIN" .Values.capabilities)) }}
{{- range list "BPF" "PERFMON" }}
{{- if not (has . $.Values.capabilities) }}
{{- fail (printf "capabilities: without %s (or SYS_ADMIN) cgscope does not start" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- if not (or .Values.privileged (has "DAC_READ_SEARCH" .Values.capabilities)) }}
{{- fail "capabilities: without DAC_READ_SEARCH cgscope does not start" }}
{{- end }}
{{- if and .Values.listen.enabled (lt (int .Values.listen.port) 1024) (not .Values.privileged) }}
{{- fail (printf "listen.port is %d: below 1024 it takes NET_BIND_SERVICE, which the pod does not have" (int .Values.listen.port)) }}
{{- end }}
{{- range $name := list "seccompProfile" "appArmorProfile" }}
{{- $profile := get $.Values $name | default dict }}
{{- if and $profile (not $profile.type) }}
{{- fail (printf "%s.type is missing: RuntimeDefault, Unconfined or Localhost" $name) }}
{{- end }}
{{- if and (eq (toString $profile.type) "Localhost") (not $profile.localhostProfile) }}
{{- fail (printf "%s.type Localhost needs %s.localhostProfile" $name $name) }}
{{- end }}
{{- if and $profile.localhostProfile (ne (toString $profile.type) "Localhost") }}
{{- fail (printf "%s.localhostProfile is for type Localhost only" $name) }}
{{- end }}
{{- end }}
{{- with .Values.hostRoot }}
{{- if and (eq .mount "paths") (not .paths) }}
{{- fail "hostRoot.mount paths needs hostRoot.paths" }}
{{- end }}
{{- if and (include "cgscope.recursiveReadOnly" $) (ne (toString .mountPropagation) "None") }}
{{- fail (printf "hostRoot.recursiveReadOnly %s needs hostRoot.mountPropagation None: Kubernetes allows no other" .recursiveReadOnly) }}
{{- end }}
{{- end }}
{{- include "cgscope.validateExtras" . }}
{{- $update := .Values.updateStrategy.rollingUpdate | default dict }}
{{- $surge := has (toString ($update.maxSurge | default 0)) (list "0" "0%" "00%") | not }}
{{- $gone := has (toString (ternary $update.maxUnavailable 1 (hasKey $update "maxUnavailable"))) (list "0" "0%" "00%") | not }}
{{- if and $surge $gone }}
{{- fail (printf "updateStrategy.rollingUpdate: one of maxSurge and maxUnavailable has to be 0; maxUnavailable is %v" ($update.maxUnavailable | default 1)) }}
{{- end }}
{{- if not (or $surge $gone) }}
{{- fail "updateStrategy.rollingUpdate: maxSurge and maxUnavailable cannot both be 0" }}
{{- end }}
{{- $resources := .Values.resources | default dict }}
{{- $limits := $resources.limits | default dict }}
{{- range $name, $request := $resources.requests }}
{{- with get $limits $name }}
{{- if gt (include "cgscope.quantity" (toString $request) | float64) (include "cgscope.quantity" (toString .) | float64) }}
{{- fail (printf "resources.requests.%s is %v: not above its limit, %v" $name $request .) }}
{{- end }}
{{- end }}
{{- end }}
{{- range .Values.networkPolicy.ingressFrom }}
{{- if and .ipBlock (or (hasKey . "podSelector") (hasKey . "namespaceSelector")) }}
{{- fail "networkPolicy.ingressFrom: an ipBlock is a peer of its own, without selectors" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What is added to the chart's own, and must not be its own once more. */}}
{{- define "cgscope.validateExtras" -}}
{{- range .Values.monitor.extraArgs }}
{{- $option := regexReplaceAll "=.*" . "" }}
{{- if regexMatch "^-[a-z]." . }}
{{- $option = substr 0 2 . }}
{{- end }}
{{- if or (has $option (list "-i" "--interval" "-o" "--output" "--by" "--top" "--in-flight" "--containers-only" "--host-root")) (and $.Values.listen.enabled (has $option (list "--listen" "--metrics-syscalls"))) }}
{{- fail (printf "monitor.extraArgs: %s is set by the chart; its value is below monitor or listen" $option) }}
{{- end }}
{{- end }}
{{- $names := list "NODE_NAME" }}
{{- range .Values.extraEnv }}
{{- if has .name $names }}
{{- fail (printf "extraEnv: %s is there already" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $volumes := list }}
{{- $paths := list }}
{{- if eq .Values.hostRoot.mount "root" }}
{{- $volumes = append $volumes "host" }}
{{- $paths = append $paths "/host" }}
{{- else }}
{{- range $i, $path := .Values.hostRoot.paths }}
{{- $volumes = append $volumes (printf "host-%d" $i) }}
{{- $paths = append $paths (printf "/host%s" $path) }}
{{- end }}
{{- end }}
{{- range .Values.extraVolumes }}
{{- if has .name $volumes }}
{{- fail (printf "extraVolumes: %s is there already" .name) }}
{{- end }}
{{- $volumes = append $volumes .name }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if not (has .name $volumes) }}
{{- fail (printf "extraVolumeMounts: there is no volume %s" .name) }}
{{- end }}
{{- if has .mountPath $paths }}
{{- fail (printf "extraVolumeMounts: something is mounted at %s already" .mountPath) }}
{{- end }}
{{- $paths = append $paths .mountPath }}
{{- end }}
{{- end }}
