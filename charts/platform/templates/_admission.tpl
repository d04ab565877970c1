{{/*
Rules of admission: `name`, `of` what (`pods`: all pod specs p, at p.at; `labeled`: all labels p, likewise; `containers`: all containers c, whatever list of a
pod holds them), `bad` (CEL, true where it is refused) and `say` (what is wrong; what to do). Each stands here once and is
used for every kind. A refusal shows the first rule that is broken: its name, the fields, the remedy. What is optional in the
API is read with `?`: a missing field is no error, while an error refuses (failurePolicy Fail).
*/}}

{{/* A list of texts as CEL writes it. */}}
{{- define "admission.texts" -}}
[{{ range $i, $one := . }}{{ if $i }}, {{ end }}'{{ $one }}'{{ end }}]
{{- end -}}

{{/* What a message says of a list. */}}
{{- define "admission.said" -}}
{{ . | default (list "none") | join ", " }}
{{- end -}}

{{/* What holds for every pod and container, whatever it is part of. */}}
{{- define "admission.everywhere" -}}
{{- $a := .Values.admission -}}
{{- $labels := include "admission.texts" $a.nodeLabels -}}
{{- $caps := list -}}
{{- $most := list -}}
{{- range $name, $amount := $a.limits -}}
{{- $caps = append $caps (printf "'%s': '%s'" $name (toString $amount)) -}}
{{- $most = append $most (printf "%s %s" $name (toString $amount)) -}}
{{- end }}
- name: host-namespace
  of: pods
  bad: "['hostNetwork', 'hostPID', 'hostIPC'].exists(k, p.of[?k].orValue(false) == true)"
  say: shares the network, processes or IPC of the node; drop hostNetwork, hostPID and hostIPC
- name: host-path
  of: pods
  bad: p.of.?volumes.orValue([]).exists(v, has(v.hostPath))
  say: has a volume hostPath, which is a folder of the node; use a persistentVolumeClaim or an emptyDir
- name: volume-type
  of: pods
  bad: >-
    p.of.?volumes.orValue([]).exists(v, v.exists(k, !(k in ['name', 'configMap', 'downwardAPI', 'emptyDir',
    'persistentVolumeClaim', 'projected', 'secret'])))
  say: has a volume of another type; use configMap, downwardAPI, emptyDir, persistentVolumeClaim, projected or secret
- name: volume-size
  of: pods
  bad: p.of.?volumes.orValue([]).exists(v, has(v.emptyDir) && !has(v.emptyDir.sizeLimit))
  say: has an emptyDir without a bound; set emptyDir.sizeLimit
- name: token-volume
  of: pods
  bad: >-
    p.of.?volumes.orValue([]).exists(v, v.?projected.?sources.orValue([]).exists(s, has(s.serviceAccountToken)))
  say: projects a token of the API server into the pod; drop the source serviceAccountToken
- name: pod-field
  of: pods
  bad: >-
    ['nodeName', 'priorityClassName', 'runtimeClassName', 'hostAliases', 'resourceClaims', 'schedulingGates'].exists(k,
    k in p.of && !(k == 'nodeName' && variables.was.exists(o, o.spec.?nodeName.orValue('') == p.of.nodeName))) ||
    p.of.?schedulerName.orValue('default-scheduler') != 'default-scheduler'
  say: >-
    has nodeName, priorityClassName, runtimeClassName, schedulerName, hostAliases, resourceClaims or schedulingGates, which
    the platform decides on; drop it
- name: pod-label
  of: labeled
  bad: >-
    p.pod && p.of.exists(k, (k == 'component' || k.startsWith('serving.kserve.io/')) &&
    !variables.was.exists(o, o.metadata.?labels[?k].orValue('') == p.of[k]))
  say: has the label component or one of serving.kserve.io/, by which pods of KServe are let out; drop it
- name: load-kind
  of: labeled
  bad: >-
    variables.loads && request.kind.kind != 'Job' && p.of[?'app.kubernetes.io/name'].orValue('') == 'loadtest'
  say: bears the labels of a load generator and is no Job, which ends; make it a Job, or drop app.kubernetes.io/name=loadtest
- name: toleration
  of: pods
  bad: >-
    p.of.?tolerations.orValue([]).exists(t, !(t.?key.orValue('') in {{ include "admission.texts"
    (concat $a.tolerations (list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable")) }}))
  say: >-
    tolerates a taint that is not listed ({{ include "admission.said" $a.tolerations }}); drop the toleration, or ask for it
    in admission.tolerations
- name: node-label
  of: pods
  bad: >-
    p.of.?nodeSelector.orValue({}).exists(k, !(k in {{ $labels }})) ||
    (p.of.?affinity.?nodeAffinity.?requiredDuringSchedulingIgnoredDuringExecution.?nodeSelectorTerms.orValue([]) +
    p.of.?affinity.?nodeAffinity.?preferredDuringSchedulingIgnoredDuringExecution.orValue([]).map(w, w.preference)).exists(t,
    t.?matchFields.orValue([]).size() > 0 || t.?matchExpressions.orValue([]).exists(e, !(e.key in {{ $labels }})))
  say: >-
    selects nodes by a label that is not listed ({{ include "admission.said" $a.nodeLabels }}); drop it from nodeSelector and
    nodeAffinity, or ask for it in admission.nodeLabels
- name: root-user
  of: pods
  bad: >-
    p.of.?securityContext.?runAsNonRoot.orValue(true) != true || p.of.?securityContext.?runAsUser.orValue(10000) < 10000 ||
    p.of.?securityContext.?sysctls.orValue([]).size() > 0
  say: >-
    may run as root, as a system user or with sysctls; set securityContext.runAsNonRoot=true, runAsUser=10000 or more, and no
    sysctls
- name: root-user
  of: containers
  bad: c.?securityContext.?runAsNonRoot.orValue(true) != true || c.?securityContext.?runAsUser.orValue(10000) < 10000
  say: may run as root or as a system user; set securityContext.runAsNonRoot=true and runAsUser=10000 or more
{{- range $of, $at := dict "pods" "p.of" "containers" "c" }}
- name: syscalls
  of: {{ $of }}
  bad: >-
    {{ $at }}.?securityContext.?seccompProfile.?type.orValue('RuntimeDefault') != 'RuntimeDefault' ||
    {{ $at }}.?securityContext.?appArmorProfile.?type.orValue('RuntimeDefault') != 'RuntimeDefault'
  say: leaves the profile of system calls; set securityContext.seccompProfile.type=RuntimeDefault, and no appArmorProfile
{{- end }}
- name: service-account
  of: pods
  bad: >-
    [?p.of.?serviceAccountName, ?p.of.?serviceAccount].exists(a, !(a in {{ include "admission.texts"
    (prepend $a.accounts "default") }}) && (a.startsWith('podium-') || a == '{{ .Values.race.name }}' ||
    !(variables.name == a || variables.name.startsWith(a + '-'))))
  say: runs as an account that is not its own; name the account like the object, or {{ include "admission.said" $a.accounts }}
- name: image-digest
  of: containers
  bad: >-
    has(c.image) && !c.image.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64}$')
  say: names an image that may change under its name; write it with its digest, as in registry/name@sha256:...
- name: image-registry
  of: containers
  bad: has(c.image) && !{{ include "admission.texts" $a.registries }}.exists(r, c.image.startsWith(r))
  say: >-
    names an image of a registry that is not listed ({{ include "admission.said" $a.registries }}); push it there, or ask for
    the registry in admission.registries
- name: privileged
  of: containers
  bad: >-
    c.?securityContext.?privileged.orValue(false) == true || c.?securityContext.?allowPrivilegeEscalation.orValue(false) == true
    || c.?securityContext.?capabilities.?add.orValue([]).size() > 0 ||
    c.?securityContext.?procMount.orValue('Default') != 'Default'
  say: may gain privileges; drop privileged, allowPrivilegeEscalation, capabilities.add and procMount of its securityContext
- name: writable-root
  of: containers
  bad: c.?securityContext.?readOnlyRootFilesystem.orValue(true) != true
  say: may write to its own image; set securityContext.readOnlyRootFilesystem=true and mount an emptyDir where it writes
- name: host-port
  of: containers
  bad: c.?ports.orValue([]).exists(o, o.?hostPort.orValue(0) > 0)
  say: takes a port of the node; drop hostPort, a Service reaches containerPort
- name: limits-set
  of: containers
  bad: "!g.at.endsWith('ephemeralContainers') && ['cpu', 'memory'].exists(k, !(k in c.?resources.?limits.orValue({})))"
  say: has no limit for cpu or memory; set resources.limits.cpu and resources.limits.memory
{{- range $of, $at := dict "pods" "p.of" "containers" "c" }}
- name: limits-cap
  of: {{ $of }}
  bad: >-
    [?{{ $at }}.?resources.?limits, ?{{ $at }}.?resources.?requests].exists(m, m.exists(k, !(k in {{ printf "{%s}" (join ", " $caps) }}) ||
    quantity(string(m[k])).compareTo(quantity({{ printf "{%s}" (join ", " $caps) }}[k])) > 0))
  say: >-
    asks for more than one container may have ({{ join ", " $most }}), or for another resource; lower resources, or ask for
    more in admission.limits
{{- end }}
{{- end -}}

{{/* What holds where a pod spec says whether a token is mounted; a runtime does not. */}}
{{- define "admission.tokens" }}
- name: token
  of: pods
  bad: "p.of.?automountServiceAccountToken.orValue(true) != false"
  say: mounts a token of the API server; set automountServiceAccountToken=false
{{- end -}}

{{/* What holds for InferenceServices alone. */}}
{{- define "admission.inferenceservices" }}
{{- $a := .Values.admission }}
- name: storage
  of: pods
  bad: >-
    ([?p.of.?model.?storageUri] + p.of.?storageUris.orValue([]).map(s, s.uri)).exists(u,
    !u.matches('^[a-z][a-z0-9+]*://[A-Za-z0-9._/:@-]+$') || u.contains('..') ||
    !{{ include "admission.texts" $a.storage }}.exists(s, u.startsWith(s)) ||
    (variables.storage.size() > 0 && !variables.storage.exists(s, u.startsWith(s))))
  say: >-
    has a storageUri that is not below a prefix of the platform ({{ include "admission.said" $a.storage }}) and of the team
    (annotation podium.dev/storage of the namespace); move the model there, or ask for the prefix
- name: storage-form
  of: pods
  bad: has(p.of.storageContainerName) || p.of.?model.?storage.hasValue()
  say: fetches its model by model.storage or storageContainerName, which name no address; write model.storageUri
- name: storage-env
  of: containers
  bad: c.?env.orValue([]).exists(e, e.name == 'STORAGE_URI')
  say: fetches its model by the variable STORAGE_URI; write model.storageUri
- name: old-form
  of: pods
  bad: >-
    ['sklearn', 'xgboost', 'tensorflow', 'pytorch', 'triton', 'onnx', 'huggingface', 'pmml', 'lightgbm', 'paddle',
    'art'].exists(k, k in p.of)
  say: is written in a form that KServe has given up; write model with modelFormat.name
- name: replicas
  of: pods
  bad: >-
    p.of.?minReplicas.orValue(0) > {{ int64 $a.replicas }} || p.of.?maxReplicas.orValue(0) > {{ int64 $a.replicas }}
  say: >-
    asks for more than {{ int64 $a.replicas }} pods; lower minReplicas and maxReplicas, or ask for more in admission.replicas
- name: logger
  of: pods
  bad: p.of.?logger.?url.hasValue() && !p.of.logger.url.matches('^https?://' + variables.host + '(:[0-9]+)?(/.*)?$')
  say: sends requests to logger.url, which is no Service of the namespace; name one of its own
- name: keys
  of: pods
  bad: >-
    variables.keys != '' && p.at.endsWith('predictor') && !([?p.of.?model] + p.of.?containers.orValue([])).exists(c,
    c.?env.orValue([]).exists(e, e.name == 'PREDICTOR_KEYS' && (e.?value.orValue('').startsWith('/') ||
    (e.?value.orValue('') == 'none' && variables.keys != 'required'))))
  say: >-
    does not say who is served; set the variable PREDICTOR_KEYS to the file of a mounted Secret (auth.keysSecret of the chart
    variant), or to none (auth.open) where the annotation podium.dev/keys of the namespace does not say required
{{- end -}}

{{/* What holds for Jobs, and for those that bear the labels of load. */}}
{{- define "admission.workloads" }}
{{- $load := .Values.admission.load }}
{{- $images := $load.images | default (compact (list .Values.images.loadtest)) }}
- name: job-time
  of: pods
  bad: >-
    variables.jobs.exists(j, j.?activeDeadlineSeconds.orValue(0) < 1 ||
    j.?activeDeadlineSeconds.orValue(0) > {{ int64 $load.seconds }})
  say: >-
    is of a Job that has no activeDeadlineSeconds, or one above {{ int64 $load.seconds }}; set it lower, or ask for more in
    admission.load.seconds
- name: job-kept
  of: pods
  bad: >-
    variables.jobs.exists(j, j.?ttlSecondsAfterFinished.orValue(-1) < 0 ||
    j.?ttlSecondsAfterFinished.orValue(-1) > {{ int64 $load.keepSeconds }})
  say: >-
    is of a Job that has no ttlSecondsAfterFinished, or one above {{ int64 $load.keepSeconds }}; set it lower, so that
    finished Jobs go
- name: job-size
  of: pods
  bad: >-
    variables.jobs.exists(j, j.?parallelism.orValue(1) > {{ int64 $load.runners }} ||
    j.?completions.orValue(1) > {{ int64 $load.runners }})
  say: >-
    is of a Job whose parallelism or completions is above {{ int64 $load.runners }}; lower it, or ask for more in
    admission.load.runners
- name: load-alone
  of: pods
  bad: >-
    variables.loads && (p.of.?containers.orValue([]).size() != 1 || p.of.?initContainers.orValue([]).size() > 0 ||
    p.of.?volumes.orValue([]).exists(v, !has(v.emptyDir) && !has(v.configMap) && !has(v.secret)))
  say: >-
    generates load by several containers, or from a volume that others write to; leave one container, emptyDir, configMap and
    secret
- name: load-image
  of: containers
  bad: variables.loads && !(c.?image.orValue('') in {{ include "admission.texts" $images }})
  say: >-
    generates load by an image that is not listed ({{ include "admission.said" $images }}); take that of the platform, or ask for it
    in admission.load.images
- name: load-command
  of: containers
  bad: >-
    variables.loads && !(c.?command.orValue([]) in [['python', '-m', 'loadtest.cluster_runner'], ['python', '-m',
    'loadtest.director']] && c.?args.orValue([]).all(a, a.matches('^--(plan=/plan/plan[.]json|folder=/[a-z]+|key-file=/key/key|runners=[0-9]{1,3}|results=http://[a-z]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?)$')))
  say: generates load by a program that keeps to no bounds; take command and args from the chart loadtest
- name: load-form
  of: containers
  bad: >-
    variables.loads && (['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe', 'workingDir', 'envFrom'].exists(k,
    k in c) || c.?env.orValue([]).exists(e, !(e.name in ['RUNNERS', 'NODE_NAME', 'POD_NAME', 'POD_UID', 'LOADTEST_MAX_RATE',
    'LOADTEST_NAMESPACE'])) || c.?volumeMounts.orValue([]).exists(m, !(m.mountPath in ['/work', '/tmp', '/plan', '/key'])))
  say: >-
    has lifecycle, probes, workingDir, envFrom, or env and volumeMounts that the chart loadtest does not set, by which another
    program can run; drop them
- name: load-runners
  of: containers
  bad: >-
    variables.loads && 'loadtest.cluster_runner' in c.?command.orValue([]) &&
    [c.?env.orValue([]).filter(e, e.name == 'RUNNERS')].exists(f, f.size() != 1 || variables.jobs.exists(j,
    [j.?parallelism.orValue(1), j.?completions.orValue(1)].exists(n, f[0].?value.orValue('') != string(n))))
  say: >-
    does not say how many load generators share the rate; set the variable RUNNERS to completions, and parallelism likewise,
    as the chart loadtest does
- name: load-rate
  of: containers
  bad: >-
    variables.loads && [c.?env.orValue([]).filter(e, e.name == 'LOADTEST_MAX_RATE')].exists(f, f.size() != 1 || f.exists(e,
    !e.?value.orValue('').matches('^[1-9][0-9]{0,8}$') || int(e.value) > {{ int64 $load.rate }}))
  say: >-
    may load at more than {{ int64 $load.rate }} requests a second; set bounds.rate of the chart loadtest (variable
    LOADTEST_MAX_RATE) to at most that, or ask for more in admission.load.rate
- name: load-target
  of: containers
  bad: >-
    variables.loads && [c.?env.orValue([]).filter(e, e.name == 'LOADTEST_NAMESPACE')].exists(f, f.size() != 1 || f.exists(e,
    e.?value.orValue('') != namespaceObject.metadata.name))
  say: may load other namespaces; set bounds.ownNamespace of the chart loadtest (variable LOADTEST_NAMESPACE)
{{- end -}}

{{/* Names of the runtimes, one a line. */}}
{{- define "admission.runtimes" -}}
{{- range $engine := list "ort" "openvino" "torch" "ray" }}
{{- if include "platform.image" (list $ $engine) }}
podium-{{ $engine }}
{{- if $.Values.runtimes.knative }}
podium-{{ $engine }}-knative
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What holds where models must be signed: the platform's runtimes alone check it, and nothing may make them look away. */}}
{{- define "admission.signed.inferenceservices" }}
{{- $keys := include "admission.texts" .Values.verification.keys }}
{{- $runtimes := compact (splitList "\n" (include "admission.runtimes" .)) }}
- name: signature
  of: pods
  bad: p.at.endsWith('predictor') && !(p.of.?model.?runtime.orValue('') in {{ include "admission.texts" $runtimes }})
  say: >-
    serves by another runtime than those of the platform, which alone ask for signed models; set model.runtime to one of
    {{ include "admission.said" $runtimes }}
- name: signature-check
  of: containers
  bad: >-
    (g.at.endsWith('.model') || (g.at.contains('predictor.') && c.?name.orValue('') == 'kserve-container')) &&
    (['command', 'image', 'lifecycle', 'envFrom'].exists(k, k in c) ||
    ['startupProbe', 'livenessProbe', 'readinessProbe'].exists(k, c[?k].?exec.hasValue()) ||
    c.?args.orValue([]).exists(a, a.startsWith('--v')) ||
    c.?env.orValue([]).exists(e, e.name.startsWith('LD_') || (e.name == 'PREDICTOR_VERIFY_KEY' &&
    !(e.?value.orValue('') in {{ $keys }}))) ||
    c.?volumeMounts.orValue([]).exists(m, m.mountPath.contains('..') || !m.mountPath.startsWith('/mnt/') &&
    !m.mountPath.startsWith('/tmp')))
  say: >-
    names another key than one of the platform, or changes the program that checks signatures; drop PREDICTOR_VERIFY_KEY,
    --verify-key, LD_ variables, envFrom, command, image, lifecycle, probes by exec and volumeMounts, or name a key of
    verification.keys
{{- end -}}

{{- define "admission.signed.servingruntimes" }}
- name: signature-runtime
  of: pods
  bad: variables.name in {{ include "admission.texts" (compact (splitList "\n" (include "admission.runtimes" .))) }}
  say: would stand in for a runtime of the platform, which asks for signed models; give it another metadata.name
{{- end -}}
