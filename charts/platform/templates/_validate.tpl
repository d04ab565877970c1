{{/*
All contradictions that a schema cannot see, in one failure: value, reason, replacement.
*/}}
{{- define "platform.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- $used := or (ne $v.artifacts.volume "existing") $v.networkPolicy.defaultDeny $v.podMonitor.enabled $v.prometheusRule.enabled -}}
{{- if and $used (not $v.namespaces) -}}
{{- $wrong = append $wrong "namespaces []: artifacts, networkPolicy, podMonitor and prometheusRule need to know where; name the namespaces of your variants" -}}
{{- end -}}
{{- if ne (len $v.namespaces) (len (uniq $v.namespaces)) -}}
{{- $wrong = append $wrong (printf "namespaces %s: one stands twice; name each once" (toJson $v.namespaces)) -}}
{{- end -}}
{{- if has .Release.Namespace $v.namespaces -}}
{{- $wrong = append $wrong (printf "namespaces %s: has the release's own namespace, whose ConfigMap variants must not change; install the chart into another" (toJson $v.namespaces)) -}}
{{- end -}}
{{- if and (eq $v.artifacts.volume "hostPath") (not $v.artifacts.hostPath) -}}
{{- $wrong = append $wrong "artifacts.hostPath \"\": volume hostPath needs a folder of the nodes; name it, as in /var/lib/podium/store" -}}
{{- end -}}
{{- if and (ne $v.artifacts.volume "hostPath") $v.artifacts.hostPath -}}
{{- $wrong = append $wrong (printf "artifacts.hostPath %s: is read with artifacts.volume hostPath only, and that is %s; set artifacts.volume=hostPath, or drop it" $v.artifacts.hostPath $v.artifacts.volume) -}}
{{- end -}}
{{- if and (ne $v.artifacts.volume "storageClass") $v.artifacts.storageClassName -}}
{{- $wrong = append $wrong (printf "artifacts.storageClassName %s: is read with artifacts.volume storageClass only, and that is %s; set artifacts.volume=storageClass, or drop it" $v.artifacts.storageClassName $v.artifacts.volume) -}}
{{- end -}}
{{- if and $v.imagePullSecrets (eq $v.imagePullPolicy "Never") -}}
{{- $wrong = append $wrong "imagePullPolicy Never: pulls nothing, so imagePullSecrets would be read by nobody; drop one of them" -}}
{{- end -}}
{{- range $name, $amount := $v.resources.requests -}}
{{- if ne (toString $amount) (toString (get $v.resources.limits $name)) -}}
{{- $wrong = append $wrong (printf "resources.limits %s: is %s where the request is %s; write both alike" $name (get $v.resources.limits $name | default "missing" | toString | quote) (toString $amount | quote)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $amount := $v.resources.limits -}}
{{- if not (hasKey $v.resources.requests $name) -}}
{{- $wrong = append $wrong (printf "resources.requests %s: is missing where the limit is %s; write both alike" $name (toString $amount | quote)) -}}
{{- end -}}
{{- end -}}
{{- $a := $v.admission -}}
{{- range $kind, $listed := dict "registries" $a.registries "storage" $a.storage "accounts" $a.accounts -}}
{{- if ne (len $listed) (len (uniq $listed)) -}}
{{- $wrong = append $wrong (printf "admission.%s %s: one stands twice; name each once" $kind (toJson $listed)) -}}
{{- end -}}
{{- end -}}
{{- $keys := $v.verification.keys -}}
{{- if ne (len $keys) (len (uniq $keys)) -}}
{{- $wrong = append $wrong (printf "verification.keys %s: one stands twice; name each once" (toJson $keys)) -}}
{{- end -}}
{{- if has $v.race.name $a.accounts -}}
{{- $wrong = append $wrong (printf "admission.accounts %s: may do what a race does, and tenants' pods would run as it; drop it" $v.race.name) -}}
{{- end -}}
{{- range $account := list "podium-deployer" "podium-viewer" -}}
{{- if has $account $a.accounts -}}
{{- $wrong = append $wrong (printf "admission.accounts %s: is a person's or a pipeline's in the chart tenant; drop it" $account) -}}
{{- end -}}
{{- end -}}
{{- range $name := $a.controllers -}}
{{- if has $name (list "system:serviceaccount:" "system:") -}}
{{- $wrong = append $wrong (printf "admission.controllers %s: are tenants' accounts too, and nothing of theirs would be looked at; name a namespace, as in system:serviceaccount:kserve:" $name) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nthe values of chart %s contradict each other:\n  - %s\n" .Chart.Name (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
