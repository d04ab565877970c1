{{/*
All contradictions that a schema cannot see, in one failure: value, reason, replacement.
*/}}
{{- define "tenant.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- $namespace := include "tenant.namespace" . -}}
{{- if eq $namespace .Release.Namespace -}}
{{- $wrong = append $wrong (printf "namespace %s: is the release's own, where the team could change the release's record; install into the platform's, and let this one be made" $namespace) -}}
{{- end -}}
{{- if or (eq $namespace "default") (hasPrefix "kube-" $namespace) -}}
{{- $wrong = append $wrong (printf "namespace %s: is the cluster's own; name another" $namespace) -}}
{{- end -}}
{{- range $role, $subjects := dict "deployers" $v.deployers "viewers" $v.viewers -}}
{{- range $one := $subjects -}}
{{- if and (eq $one.kind "ServiceAccount") (not $one.namespace) -}}
{{- $wrong = append $wrong (printf "%s ServiceAccount %s: an account lives in a namespace; add its namespace" $role $one.name) -}}
{{- end -}}
{{- if and (ne $one.kind "ServiceAccount") $one.namespace -}}
{{- $wrong = append $wrong (printf "%s %s %s: has a namespace, which only a ServiceAccount has; drop it" $role $one.kind $one.name) -}}
{{- end -}}
{{- if and (eq $one.kind "Group") (has $one.name (list "system:authenticated" "system:unauthenticated" "system:serviceaccounts")) -}}
{{- $wrong = append $wrong (printf "%s Group %s: is everybody of the cluster, other teams too; name the team's own group" $role $one.name) -}}
{{- end -}}
{{- end -}}
{{- if ne (len $subjects) (len (uniq $subjects)) -}}
{{- $wrong = append $wrong (printf "%s: one stands twice; name each once" $role) -}}
{{- end -}}
{{- end -}}
{{- range $kind, $given := dict "requests" "defaultRequest" "limits" "default" -}}
{{- range $name, $_ := $v.quota -}}
{{- if hasPrefix (printf "%s." $kind) $name -}}
{{- $resource := trimPrefix (printf "%s." $kind) $name -}}
{{- if and (has $resource (list "cpu" "memory" "ephemeral-storage")) (not (hasKey (get $v.limits $given) $resource)) -}}
{{- $wrong = append $wrong (printf "quota %s: refuses every pod that does not name it; add %s to limits.%s" $name $resource $given) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $v.limits.default -}}
{{- if not (hasKey $v.limits.max $name) -}}
{{- $wrong = append $wrong (printf "limits.default %s: has no most; add %s to limits.max" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nthe values of chart %s contradict each other:\n  - %s\n" .Chart.Name (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
