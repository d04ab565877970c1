{{/* The chart's name. */}}
{{- define "variant.name" -}}
{{- .Chart.Name -}}
{{- end -}}

{{/* The release's name is the InferenceService's. */}}
{{- define "variant.fullname" -}}
{{- .Release.Name -}}
{{- end -}}

{{/* Chart and version, as a label. */}}
{{- define "variant.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end -}}

{{/*
Labels of every object. KServe hands those of an InferenceService on to its pods, so none of them may change with the
chart: its version would restart every pod. Objects that have no pods add "helm.sh/chart".
*/}}
{{- define "variant.labels" -}}
app.kubernetes.io/name: {{ include "variant.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: predictor
app.kubernetes.io/part-of: podium
app.kubernetes.io/managed-by: {{ .Release.Service }}
podium.dev/variant: {{ .Values.variant.id | quote }}
podium.dev/node-class: {{ .Values.nodeClass | quote }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels that KServe gives the pods of this InferenceService, by mode. */}}
{{- define "variant.selectorLabels" -}}
{{- if eq .Values.mode "Standard" -}}
app: isvc.{{ include "variant.fullname" . }}-predictor
{{- else -}}
serving.kserve.io/inferenceservice: {{ include "variant.fullname" . }}
component: predictor
{{- end -}}
{{- end -}}

{{/* The ServiceAccount that pods run as. */}}
{{- define "variant.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "variant.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* Where the PodMonitor goes. */}}
{{- define "variant.monitorNamespace" -}}
{{- .Values.podMonitor.namespace | default .Release.Namespace -}}
{{- end -}}
