{{/* The chart's name. */}}
{{- define "tenant.name" -}}
{{- .Chart.Name -}}
{{- end -}}

{{/* Objects are named after what they are: a namespace has each once. */}}
{{- define "tenant.fullname" -}}
podium
{{- end -}}

{{/* Chart and version, as a label. */}}
{{- define "tenant.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end -}}

{{/* Who the namespace is for. */}}
{{- define "tenant.team" -}}
{{- .Values.team | default .Release.Name -}}
{{- end -}}

{{/* The namespace that is made. */}}
{{- define "tenant.namespace" -}}
{{- .Values.namespace | default (include "tenant.team" .) -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "tenant.labels" -}}
app.kubernetes.io/name: {{ include "tenant.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/part-of: podium
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "tenant.chart" . }}
podium.dev/tenant: {{ include "tenant.team" . | quote }}
{{- end -}}

{{/* Pods that serve: KServe labels them so, whatever made them. */}}
{{- define "tenant.selectorLabels" -}}
matchExpressions:
  - {key: serving.kserve.io/inferenceservice, operator: Exists}
{{- end -}}

{{/* An account: (list . "deployer"). */}}
{{- define "tenant.serviceAccountName" -}}
{{- printf "%s-%s" (include "tenant.fullname" (index . 0)) (index . 1) -}}
{{- end -}}
