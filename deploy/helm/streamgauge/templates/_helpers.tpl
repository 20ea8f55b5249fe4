{{- define "streamgauge.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "streamgauge.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "streamgauge.labels" -}}
{{ include "streamgauge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "streamgauge.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- /* The headless service: a name for each pod of a StatefulSet. */ -}}
{{- define "streamgauge.agents" -}}
{{ include "streamgauge.fullname" . }}-agents
{{- end -}}

{{- /* The agent's config: the values, and what depends on the pod. Variables stay for the agent to replace. */ -}}
{{- define "streamgauge.config" -}}
{{- if and .Values.tls.secretName (ne .Values.kind "StatefulSet") -}}
{{- fail "tls.secretName needs kind: StatefulSet, whose pods have names that a certificate can have" -}}
{{- end -}}
{{- if and .Values.tokens.read.secretName (not .Values.tokens.peer.secretName) -}}
{{- fail "tokens.read.secretName locks the agents' listener: set tokens.peer.secretName, so that they can ask each other" -}}
{{- end -}}
{{- $kafka := dict "bootstrap_servers" "${KAFKA_BOOTSTRAP_SERVERS}" -}}
{{- if eq .Values.kind "Deployment" -}}
{{- $kafka = merge $kafka (dict "membership" "dynamic" "on_shutdown" "leave") -}}
{{- end -}}
{{- $http := dict "listen" "0.0.0.0:9746" -}}
{{- $grpc := dict "listen" "0.0.0.0:9747" "advertise" "${POD_IP}:9747" -}}
{{- $peer := dict -}}
{{- with .Values.tls.secretName -}}
{{- $tls := dict "certificate" "/tls/tls.crt" "key" "/tls/tls.key" -}}
{{- $_ := set $http "tls" $tls -}}
{{- $_ := set $grpc "tls" $tls -}}
{{- $_ := set $grpc "advertise" (printf "${POD_NAME}.%s.%s.svc:9747" (include "streamgauge.agents" $) $.Release.Namespace) -}}
{{- $_ := set $peer "ca" "/tls/ca.crt" -}}
{{- end -}}
{{- if .Values.tokens.peer.secretName -}}
{{- $_ := set $peer "token_file" "/secrets/peer/token" -}}
{{- $identities := dict "agents" (dict "token_file" "/secrets/peer/token" "may" (list "peer")) -}}
{{- if .Values.tokens.read.secretName -}}
{{- $reader := dict "token_file" "/secrets/read/token" "may" (list "read") -}}
{{- $_ := set $identities "readers" $reader -}}
{{- $_ := set $http "identities" (dict "readers" $reader) -}}
{{- end -}}
{{- $_ := set $grpc "identities" $identities -}}
{{- end -}}
{{- if $peer -}}
{{- $_ := set $grpc "peer" $peer -}}
{{- end -}}
{{- $own := dict "kafka" $kafka "http" $http "grpc" $grpc "state" (dict "dir" "/var/lib/streamgauge/state") -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) -}}
{{- end -}}

{{- /* The agent's container, as the pod's own or as a native sidecar. */ -}}
{{- define "streamgauge.container" -}}
{{- $scheme := ternary "HTTPS" "HTTP" (ne .Values.tls.secretName "") -}}
name: streamgauge
image: {{ include "streamgauge.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if .Values.sidecar.containers }}
restartPolicy: Always
{{- end }}
args: ["run", "-c", "/etc/streamgauge/config.yaml"]
env:
  - name: KAFKA_BOOTSTRAP_SERVERS
    value: {{ .Values.kafka.bootstrapServers | quote }}
  - name: POD_IP
    valueFrom: { fieldRef: { fieldPath: status.podIP } }
  - name: POD_NAME
    valueFrom: { fieldRef: { fieldPath: metadata.name } }
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - { name: metrics, containerPort: 9746 }
  - { name: grpc, containerPort: 9747 }
# Lives: never depends on Kafka. Ready: partitions are known and restored.
livenessProbe:
  httpGet: { path: /-/healthy, port: metrics, scheme: {{ $scheme }} }
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /-/ready, port: metrics, scheme: {{ $scheme }} }
  periodSeconds: 5
startupProbe:
  httpGet: { path: /-/healthy, port: metrics, scheme: {{ $scheme }} }
  periodSeconds: 2
  failureThreshold: 30
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: ["ALL"] }
volumeMounts:
  - { name: state, mountPath: /var/lib/streamgauge }
  - { name: config, mountPath: /etc/streamgauge, readOnly: true }
  {{- if .Values.kafka.secretName }}
  - { name: kafka, mountPath: /secrets/kafka, readOnly: true }
  {{- end }}
  {{- if .Values.tls.secretName }}
  - { name: tls, mountPath: /tls, readOnly: true }
  {{- end }}
  {{- if .Values.tokens.peer.secretName }}
  - { name: peer-token, mountPath: /secrets/peer, readOnly: true }
  {{- end }}
  {{- if .Values.tokens.read.secretName }}
  - { name: read-token, mountPath: /secrets/read, readOnly: true }
  {{- end }}
{{- end -}}
