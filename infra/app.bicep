// The function app: plan, site, settings, sign-in, and optionally its code.
param token string
param location string
param tags object
param runIdentityId string
param runClientId string
param signInIdentityId string
param signInClientId string
param authClientId string
param signInWithSecret bool
param subnetId string
param blobEndpoint string
param queueEndpoint string
param packageContainerName string
param vaultName string
param vaultUrl string
param insightsConnectionString string
param workspaceId string
param diagnosticLogs bool
param segmentBlobEndpoint string
param segmentContainerName string
param segmentPrefix string
param exportContainerName string
param exportSchedule string
param constantContactClientId string
param constantContactApiUrl string
param constantContactAuthUrl string
param constantContactRequestsPerSecond int
param constantContactRequestsPerDay int
param publicUrl string
param snapshotQuietSeconds int
param activityPollSeconds int
param pythonVersion string
param instanceMemoryMB int
param maximumInstanceCount int
param packageUri string

var signIn = !empty(authClientId)
// Where browsers reach the app: what sign-in and Constant Contact lead back to.
var baseUrl = empty(publicUrl) ? 'https://${app.properties.defaultHostName}' : publicUrl

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: 'func-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'export' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${runIdentityId}': {}
      '${signInIdentityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: runIdentityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${blobEndpoint}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: runIdentityId
          }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      // Lets the portal's Test/Run reach the app.
      cors: { allowedOrigins: ['https://portal.azure.com'] }
    }
  }
}

// Replaces the whole set: a setting made by hand is gone after the next deployment.
resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: union(
    {
      AzureWebJobsStorage__blobServiceUri: blobEndpoint
      AzureWebJobsStorage__queueServiceUri: queueEndpoint
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: runClientId
      AzureWebJobsDisableHomepage: 'true'
      AZURE_CLIENT_ID: runClientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${runClientId};Authorization=AAD'
      PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
      // Records of plain HTTP calls would carry whole URLs; Azure's SDKs are still recorded.
      OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'django,fastapi,flask,httpx,psycopg2,requests,urllib,urllib3'
      SEGMENT_STORAGE__blobServiceUri: segmentBlobEndpoint
      SEGMENT_CONTAINER: segmentContainerName
      SEGMENT_PREFIX: segmentPrefix
      EXPORT_STORAGE__blobServiceUri: blobEndpoint
      EXPORT_STORAGE__queueServiceUri: queueEndpoint
      EXPORT_STORAGE__credential: 'managedidentity'
      EXPORT_STORAGE__clientId: runClientId
      EXPORT_CONTAINER: exportContainerName
      EXPORT_SCHEDULE: exportSchedule
      KEY_VAULT_URL: vaultUrl
      CONSTANT_CONTACT_CLIENT_ID: constantContactClientId
      CONSTANT_CONTACT_API_URL: constantContactApiUrl
      CONSTANT_CONTACT_AUTH_URL: constantContactAuthUrl
      CONSTANT_CONTACT_REQUESTS_PER_SECOND: string(constantContactRequestsPerSecond)
      CONSTANT_CONTACT_REQUESTS_PER_DAY: string(constantContactRequestsPerDay)
      PUBLIC_URL: baseUrl
      SNAPSHOT_QUIET_SECONDS: string(snapshotQuietSeconds)
      ACTIVITY_POLL_SECONDS: string(activityPollSeconds)
    },
    // The headers of sign-in may be believed only where this file switches sign-in on.
    signIn ? { SIGN_IN: 'entra' } : {},
    signIn && !signInWithSecret ? { OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID: signInClientId } : {},
    signIn && signInWithSecret
      ? { MICROSOFT_PROVIDER_AUTHENTICATION_SECRET: '@Microsoft.KeyVault(VaultName=${vaultName};SecretName=sign-in-client-secret)' }
      : {}
  )
}

resource authentication 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'authsettingsV2'
  properties: {
    platform: { enabled: true, runtimeVersion: '~1' }
    httpSettings: { requireHttps: true }
    globalValidation: {
      requireAuthentication: true
      // Without a registration there is nobody to redirect to: everyone is refused.
      unauthenticatedClientAction: signIn ? 'RedirectToLoginPage' : 'Return401'
      redirectToProvider: signIn ? 'azureactivedirectory' : null
      excludedPaths: ['/api/health', '/api/oauth/callback']
    }
    // The app reads roles from the claims themselves; stored tokens would only be a risk.
    login: { tokenStore: { enabled: false } }
    identityProviders: signIn
      ? {
          azureActiveDirectory: {
            enabled: true
            registration: {
              openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
              clientId: authClientId
              clientSecretSettingName: signInWithSecret ? 'MICROSOFT_PROVIDER_AUTHENTICATION_SECRET' : 'OVERRIDE_USE_MI_FIC_ASSERTION_CLIENTID'
            }
            validation: { allowedAudiences: [authClientId, 'api://${authClientId}'] }
          }
        }
      : {}
  }
  dependsOn: [settings]
}

// Deployment goes by Entra identity; publishing passwords stay off.
resource ftpPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

resource scmPasswords 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource hostLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (diagnosticLogs) {
  name: 'host'
  scope: app
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'FunctionAppLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

// Installs the released package when no pipeline does. `any`, because the published type of this
// resource lacks its properties: https://learn.microsoft.com/azure/azure-functions/functions-infrastructure-as-code
resource package 'Microsoft.Web/sites/extensions@2024-11-01' = if (!empty(packageUri)) {
  parent: app
  name: any('onedeploy')
  properties: {
    packageUri: packageUri
    remoteBuild: true
  }
  dependsOn: [settings, authentication]
}

output functionName string = app.name
output consoleUrl string = '${baseUrl}/console/'
output constantContactRedirectUri string = '${baseUrl}/api/oauth/callback'
output signInRedirectUri string = '${baseUrl}/.auth/login/aad/callback'
