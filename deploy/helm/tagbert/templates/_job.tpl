{{/* A bounded run: of a Job, a CronJob, and of the Jobs that KEDA starts. */}}
{{- define "tagbert.jobSpec" -}}
{{- with .Values.job -}}
parallelism: {{ .parallelism }}
backoffLimit: {{ .backoffLimit }}
{{- if not (kindIs "invalid" .activeDeadlineSeconds) }}
activeDeadlineSeconds: {{ .activeDeadlineSeconds | int64 }}
{{- end }}
{{- if not (kindIs "invalid" .ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ .ttlSecondsAfterFinished | int64 }}
{{- else if $.Values.keda.enabled }}
ttlSecondsAfterFinished: 86400
{{- end }}
{{- end }}
# To try again helps neither a wrong configuration (2) nor a job that is done, with dead letters (3; --max-dead).
podFailurePolicy:
  rules:
    - action: FailJob
      onExitCodes:
        containerName: tagbert
        operator: In
        values: [2, 3]
    # A drained node is no failure of the job's.
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
template:
  {{- include "tagbert.podTemplate" . | nindent 2 }}
{{- end -}}
