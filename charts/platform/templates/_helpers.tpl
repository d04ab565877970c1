{{/* The chart's name. */}}
{{- define "platform.name" -}}
{{- .Chart.Name -}}
{{- end -}}

{{/* Objects are named after what they are; the release only owns them. */}}
{{- define "platform.fullname" -}}
podium
{{- end -}}

{{/* Chart and version, as a label. */}}
{{- define "platform.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "platform.labels" -}}
app.kubernetes.io/name: {{ include "platform.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: podium
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "platform.chart" . }}
{{- end -}}

{{/* Labels of the pods on our runtimes. */}}
{{- define "platform.selectorLabels" -}}
app.kubernetes.io/part-of: podium
component: predictor
{{- end -}}

{{/* The ServiceAccount of races. */}}
{{- define "platform.serviceAccountName" -}}
{{- .Values.race.name -}}
{{- end -}}

{{/* The image of an engine: (list . "ort"). */}}
{{- define "platform.image" -}}
{{- get (index . 0).Values.images (index . 1) -}}
{{- end -}}

{{/* Where the PodMonitor, the rules and the dashboards go. */}}
{{- define "platform.monitorNamespace" -}}
{{- .Values.podMonitor.namespace | default .Release.Namespace -}}
{{- end -}}
