// Messages of Intel's own library for AMT, each on one line: `messages.js MODULE`.
const { AMT, CIM } = require(process.argv[2])
const cim = new CIM.Messages()
const amt = new AMT.Messages()
const settings = {
  BIOSLastStatus: [2, 0], BIOSPause: false, BIOSSetup: false, BootMediaIndex: 0,
  ConfigurationDataReset: false, ElementName: 'Intel(r) AMT Boot Configuration Settings',
  FirmwareVerbosity: 0, ForcedProgressEvents: false, IDERBootDevice: 0,
  InstanceID: 'Intel(r) AMT:BootSettingData 0', LockKeyboard: false, LockPowerButton: false,
  LockResetButton: false, LockSleepButton: false, OptionsCleared: true,
  OwningEntity: 'Intel(r) AMT', RSEPassword: '', ReflashBIOS: false, SecureErase: false,
  UseIDER: false, UseSOL: false, UseSafeMode: false, UserPasswordBypass: false
}
const messages = [
  cim.ServiceAvailableToElement.Enumerate(),
  cim.ServiceAvailableToElement.Pull('list-of-CIM_ServiceAvailableToElement'),
  amt.BootSettingData.Get(),
  cim.BootConfigSetting.ChangeBootOrder(),
  amt.BootSettingData.Put(settings),
  cim.BootService.SetBootConfigRole('Intel(r) AMT: Boot Configuration 0', 1),
  cim.BootConfigSetting.ChangeBootOrder('Intel(r) AMT: Force PXE Boot'),
  cim.PowerManagementService.RequestPowerStateChange(2)
]
for (const message of messages) console.log(message.replace(/\n/g, ' '))
