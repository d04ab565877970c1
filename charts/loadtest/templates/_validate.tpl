{{/*
All contradictions that a schema cannot see, in one failure: value, reason, replacement.
*/}}
{{- define "loadtest.validate" -}}
{{- $wrong := list -}}
{{- $v := .Values -}}
{{- if not $v.image -}}
{{- $wrong = append $wrong "image \"\": there is nothing to run; name the load generator's, which ConfigMap podium-platform holds as images.loadtest" -}}
{{- end -}}
{{- if gt (len .Release.Name) 45 -}}
{{- $wrong = append $wrong (printf "release name %q: has %d characters, and the pods of its Job append 18; shorten it to 45" .Release.Name (len .Release.Name)) -}}
{{- end -}}
{{- if $v.testRun.enabled -}}
{{- if $v.plan -}}
{{- $wrong = append $wrong "plan: is played by the chart's own runners, and testRun.enabled=true has none; drop one of them" -}}
{{- end -}}
{{- if not $v.testRun.url -}}
{{- $wrong = append $wrong "testRun.url \"\": there is nothing to ask; name it, as in http://food11-predictor/v2/models/food11/infer" -}}
{{- end -}}
{{- if lt (int64 $v.testRun.rate) (int64 $v.runners) -}}
{{- $wrong = append $wrong (printf "runners %d: are more than testRun.rate %d requests a second, so some would send nothing; lower runners" (int64 $v.runners) (int64 $v.testRun.rate)) -}}
{{- end -}}
{{- else if $v.testRun.url -}}
{{- $wrong = append $wrong (printf "testRun.url %s: is read with testRun.enabled=true only; set that, or say it in plan" $v.testRun.url) -}}
{{- end -}}
{{- if and $v.plan (not (or $v.plan.data $v.plan.binaryData)) -}}
{{- $wrong = append $wrong "plan: has no payload to send; give one in plan.data (text) or plan.binaryData (base64)" -}}
{{- end -}}
{{- if and (not $v.networkPolicy.enabled) $v.networkPolicy.to -}}
{{- $wrong = append $wrong "networkPolicy.to: opens a policy that networkPolicy.enabled=false does not make; drop one of them" -}}
{{- end -}}
{{- if and $v.bounds.ownNamespace $v.networkPolicy.to -}}
{{- $wrong = append $wrong "networkPolicy.to: opens a way to peers that bounds.ownNamespace=true refuses to load; drop one of them" -}}
{{- end -}}
{{- if and $v.testRun.enabled (or $v.bounds.rate $v.bounds.ownNamespace) -}}
{{- $wrong = append $wrong "bounds: are kept by the chart's own runners, and testRun.enabled=true has none; drop one of them" -}}
{{- end -}}
{{- if and $v.testRun.enabled $v.auth.keySecret -}}
{{- $wrong = append $wrong (printf "auth.keySecret %s: is sent by the chart's own runners, and testRun.enabled=true has none; drop one of them" $v.auth.keySecret) -}}
{{- end -}}
{{- if and $v.plan $v.bounds.rate -}}
{{- if gt (float64 $v.plan.rate) (float64 $v.bounds.rate) -}}
{{- $wrong = append $wrong (printf "plan.rate %v: is above bounds.rate %d, so the runners would refuse it; lower it" $v.plan.rate (int64 $v.bounds.rate)) -}}
{{- end -}}
{{- end -}}
{{- range $one := $v.env -}}
{{- if has $one.name (list "LOADTEST_MAX_RATE" "LOADTEST_NAMESPACE" "RUNNERS" "NODE_NAME" "POD_NAME" "POD_UID" "JOB_COMPLETION_INDEX") -}}
{{- $wrong = append $wrong (printf "env %s: is the chart's own; drop it" $one.name) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nthe values of chart %s contradict each other:\n  - %s\n" .Chart.Name (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
