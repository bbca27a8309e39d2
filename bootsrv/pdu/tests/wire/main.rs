//! Our outlets against net-snmp's agent.

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod snmpd;
#[cfg(test)]
mod support;
