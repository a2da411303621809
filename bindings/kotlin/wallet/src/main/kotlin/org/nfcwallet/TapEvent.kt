package org.nfcwallet

/**
 * What happened at a terminal. Each tap has at most one [Started], at most one [AuthRequired] (directly
 * before a [Failed] with 10003), and exactly one of [Completed] and [Failed], in this order.
 */
public sealed interface TapEvent {
    /** Names the tap, within this process. */
    public val tap: ULong

    /** The terminal selected the wallet and the tap may go on. */
    public data class Started(override val tap: ULong) : TapEvent

    /**
     * The cryptogram was made for the terminal. This is not "paid": ask the app's own server, under the
     * reference in [record].
     */
    public data class Completed(override val tap: ULong, val record: TransactionRecord) : TapEvent

    /** The tap ended without a cryptogram; [transaction] is what the terminal had said by then. */
    public data class Failed(
        override val tap: ULong,
        val failure: TapFailure,
        val transaction: TransactionInformation?,
    ) : TapEvent

    /** The user must prove presence and tap again. */
    public data class AuthRequired(override val tap: ULong, val transaction: TransactionInformation) : TapEvent
}
