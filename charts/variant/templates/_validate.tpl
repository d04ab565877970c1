{{/*
All contradictions that a schema cannot see, in one failure: value, reason, replacement.
*/}}
{{- define "variant.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- $knative := eq $v.mode "Knative" -}}
{{- $preStop := $v.preStop | trimSuffix "s" | int64 -}}

{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" .Release.Name) -}}
{{- $wrong = append $wrong (printf "release name %q: an InferenceService's name starts with a letter; rename the release" .Release.Name) -}}
{{- end -}}
{{- if and $knative (gt (len .Release.Name) 47) -}}
{{- $wrong = append $wrong (printf "release name %q: has %d characters, and the names of Knative's revisions leave 47; shorten it" .Release.Name (len .Release.Name)) -}}
{{- end -}}
{{- if $v.variant.id -}}
{{- if not (hasPrefix (printf "%s-%s-" $v.variant.model $v.variant.runtime) $v.variant.id) -}}
{{- $wrong = append $wrong (printf "variant.id %q: is not of model %q on runtime %q; ids are <model>-<runtime>-<precision>" $v.variant.id $v.variant.model $v.variant.runtime) -}}
{{- end -}}
{{- end -}}

{{- if gt (int64 $v.replicas.min) (int64 $v.replicas.max) -}}
{{- $wrong = append $wrong (printf "replicas.min %d: is above replicas.max %d; lower it" (int64 $v.replicas.min) (int64 $v.replicas.max)) -}}
{{- end -}}
{{- if $knative -}}
{{- if $v.autoscaling.enabled -}}
{{- $wrong = append $wrong "autoscaling.enabled true: Knative scales by itself, and two autoscalers would fight; set autoscaling.enabled=false" -}}
{{- end -}}
{{- if $v.podMonitor.enabled -}}
{{- $wrong = append $wrong "podMonitor.enabled true: a Knative pod declares one port, and metrics are on another; set podMonitor.enabled=false" -}}
{{- end -}}
{{- else -}}
{{- if lt (int64 $v.replicas.min) 1 -}}
{{- $wrong = append $wrong "replicas.min 0: in mode Standard nothing holds a request while there is no pod; set replicas.min=1, or mode=Knative" -}}
{{- end -}}
{{- if and (not $v.autoscaling.enabled) (ne (int64 $v.replicas.min) (int64 $v.replicas.max)) -}}
{{- $wrong = append $wrong (printf "replicas.max %d: nothing scales, so it must equal replicas.min %d; set both alike, or autoscaling.enabled=true" (int64 $v.replicas.max) (int64 $v.replicas.min)) -}}
{{- end -}}
{{- if and (eq (int64 $v.rollout.maxSurge) 0) (eq (int64 $v.rollout.maxUnavailable) 0) -}}
{{- $wrong = append $wrong "rollout.maxSurge 0: with maxUnavailable 0 no change could ever roll out; set one of them to 1" -}}
{{- end -}}
{{- end -}}
{{- if and $v.pdb.enabled (gt (int64 $v.pdb.minAvailable) (int64 $v.replicas.min)) -}}
{{- $wrong = append $wrong (printf "pdb.minAvailable %d: is above replicas.min %d, so no node could be drained; lower it, or set pdb.enabled=false" (int64 $v.pdb.minAvailable) (int64 $v.replicas.min)) -}}
{{- end -}}

{{- if lt (int64 $v.gracePeriodSeconds) (add $preStop 5) -}}
{{- $wrong = append $wrong (printf "gracePeriodSeconds %d: leaves less than 5 s after preStop %s to finish accepted work; set at least %d" (int64 $v.gracePeriodSeconds) $v.preStop (add $preStop 5)) -}}
{{- end -}}
{{- if and $v.serving.gather $v.serving.maxBatch -}}
{{- if gt (int64 $v.serving.gather) (int64 $v.serving.maxBatch) -}}
{{- $wrong = append $wrong (printf "serving.gather %d: is above serving.maxBatch %d; lower it" (int64 $v.serving.gather) (int64 $v.serving.maxBatch)) -}}
{{- end -}}
{{- end -}}
{{- if gt (int64 ($v.serving.workers | default 1)) 1 -}}
{{- if eq $v.variant.runtime "ray" -}}
{{- $wrong = append $wrong (printf "serving.workers %d: a Ray replica is a process of its own already; set serving.workers=1" (int64 $v.serving.workers)) -}}
{{- end -}}
{{- if $v.auth.keysSecret -}}
{{- $wrong = append $wrong (printf "serving.workers %d: each process would count a tenant's share by itself, and auth.keysSecret asks for keys; set serving.workers=1" (int64 $v.serving.workers)) -}}
{{- end -}}
{{- with get $v.resources.limits "cpu" -}}
{{- $cores := toString . | trimSuffix "m" | float64 -}}
{{- if hasSuffix "m" (toString .) -}}
{{- $cores = divf $cores 1000 -}}
{{- end -}}
{{- if gt (float64 $v.serving.workers) $cores -}}
{{- $wrong = append $wrong (printf "serving.workers %d: is above the CPU limit %s, and each worker needs a whole core; lower it, or raise resources" (int64 $v.serving.workers) (toString . | quote)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $v.auth.open $v.auth.keysSecret -}}
{{- $wrong = append $wrong (printf "auth.open true: says that no key is asked for, and auth.keysSecret %s that one is; drop one of them" $v.auth.keysSecret) -}}
{{- end -}}
{{- if and $v.serviceAccount.create (eq $v.serviceAccount.name "default") -}}
{{- $wrong = append $wrong "serviceAccount.name default: every namespace has that one already; name another, or set serviceAccount.create=false" -}}
{{- end -}}

{{- range $name, $amount := $v.resources.requests -}}
{{- if ne (toString $amount) (toString (get $v.resources.limits $name)) -}}
{{- $wrong = append $wrong (printf "resources.limits %s: is %s where the request is %s; a server's threads follow its limit and its neighbors pay for the difference: write both alike" $name (get $v.resources.limits $name | default "missing" | toString | quote) (toString $amount | quote)) -}}
{{- end -}}
{{- end -}}
{{- range $name, $amount := $v.resources.limits -}}
{{- if not (hasKey $v.resources.requests $name) -}}
{{- $wrong = append $wrong (printf "resources.requests %s: is missing where the limit is %s; write both alike" $name (toString $amount | quote)) -}}
{{- end -}}
{{- end -}}
{{- range $one := $v.env -}}
{{- if hasPrefix "PREDICTOR_" $one.name -}}
{{- if has $one.name (list "PREDICTOR_NODE_CLASS" "PREDICTOR_PRE_STOP" "PREDICTOR_GRACE" "PREDICTOR_WORKERS" "PREDICTOR_MAX_BATCH" "PREDICTOR_GATHER" "PREDICTOR_MAX_DELAY" "PREDICTOR_QUEUE" "PREDICTOR_CONNECTIONS" "PREDICTOR_TIMEOUT" "PREDICTOR_SLO" "PREDICTOR_KEYS") -}}
{{- $wrong = append $wrong (printf "env %s: has a value of its own in this chart; set that instead" $one.name) -}}
{{- end -}}
{{- end -}}
{{- if eq $one.name "PYTHONPATH" -}}
{{- $wrong = append $wrong "env PYTHONPATH: KServe refuses it; put modules into the image" -}}
{{- end -}}
{{- end -}}

{{- if $wrong -}}
{{- fail (printf "\n\nthe values of chart %s contradict each other:\n  - %s\n" .Chart.Name (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
