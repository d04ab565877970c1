{{/* The chart's name. */}}
{{- define "loadtest.name" -}}
{{- .Chart.Name -}}
{{- end -}}

{{/* The release's name is the first part of every object's. */}}
{{- define "loadtest.fullname" -}}
{{- .Release.Name -}}
{{- end -}}

{{/* Chart and version, as a label. */}}
{{- define "loadtest.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end -}}

{{/* Labels of every object and pod: (list . "runner"). Objects add "helm.sh/chart", pods do not: it would restart them. */}}
{{- define "loadtest.labels" -}}
{{- $component := index . 1 -}}
{{- with index . 0 -}}
{{ include "loadtest.selectorLabels" (list . $component) }}
app.kubernetes.io/part-of: podium
app.kubernetes.io/managed-by: {{ .Release.Service }}
podium.dev/component: {{ $component }}
{{- with .Values.run.race }}
podium.dev/race: {{ . | quote }}
{{- end }}
{{- with .Values.run.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Labels that selectors go by: (list . "runner"). */}}
{{- define "loadtest.selectorLabels" -}}
app.kubernetes.io/name: {{ include "loadtest.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The ServiceAccount of all pods: without token, since none of them talks to the API server. */}}
{{- define "loadtest.serviceAccountName" -}}
{{- include "loadtest.fullname" . -}}
{{- end -}}

{{/* The image of runners and results. */}}
{{- define "loadtest.image" -}}
{{- .Values.image -}}
{{- end -}}
