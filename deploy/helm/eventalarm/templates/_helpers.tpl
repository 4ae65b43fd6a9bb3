{{- define "eventalarm.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "eventalarm.selector" -}}
app.kubernetes.io/name: {{ .chart.Name }}
app.kubernetes.io/instance: {{ .release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "eventalarm.labels" -}}
{{ include "eventalarm.selector" . }}
app.kubernetes.io/version: {{ .chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .release.Service }}
helm.sh/chart: {{ .chart.Name }}-{{ .chart.Version }}
{{- end }}

{{/* A pod: .args is the command line, .rest text that belongs into the container after its first variable. */}}
{{- define "eventalarm.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .spread }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- . | nindent 8 }}
{{- end }}
{{- with .restart }}
restartPolicy: {{ . }}
{{- else }}
terminationGracePeriodSeconds: 60
{{- end }}
containers:
  - name: {{ .component }}
    image: {{ include "eventalarm.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      - name: EVENTALARM_CONFIG
        value: /etc/eventalarm/eventalarm.conf
    {{- with .rest }}
    {{- . | nindent 4 }}
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - name: config
        mountPath: /etc/eventalarm
        readOnly: true
      - name: tmp
        mountPath: /tmp
volumes:
  - name: config
    secret:
      secretName: {{ .root.Values.configSecret }}
      defaultMode: 0440
  - name: tmp
    emptyDir: {}
{{- end }}
